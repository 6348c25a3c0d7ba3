"""What operators see and do: status, queues, control."""
