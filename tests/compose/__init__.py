"""docker-compose.yml brought up for real: a Docker engine in a network namespace of its own.

Not part of the suite, as it needs root, half a gigabyte and some minutes: `make compose-test`. The
base images are stand-ins made of Debian's packages and named as those that the file asks for, since
no registry of images is asked; Grafana has none and is left out.
"""
