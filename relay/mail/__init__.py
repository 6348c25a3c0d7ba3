"""What mail is: frozen data, and the SMTP grammar without I/O."""
