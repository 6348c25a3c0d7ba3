"""For frameworks that services are built with."""
