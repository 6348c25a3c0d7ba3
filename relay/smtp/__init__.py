"""The SMTP client: the only place that imports aiosmtplib."""
