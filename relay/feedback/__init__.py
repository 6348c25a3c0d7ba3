"""What outcomes cause: delivery status notifications."""
