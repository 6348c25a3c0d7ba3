"""The answers that reception gives, each once (codes: RFC 5321 section 4.2 and RFC 3463)."""

from __future__ import annotations

from relay.mail.reply import Reply

BYE = Reply(221, "2.0.0", "Bye")
OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
WILL_TRY = Reply(252, "2.5.2", "Cannot verify, but will take mail for it")
HELP = Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS")
START_TLS = Reply(220, "2.0.0", "Ready to start TLS")
START_CONTENT = Reply(354, "", "End data with <CR><LF>.<CR><LF>")

SHUTTING_DOWN = Reply(421, "4.3.2", "Service is shutting down")
TOO_MANY_CONNECTIONS = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_FROM_ADDRESS = Reply(421, "4.7.0", "Too many connections from your address")
CONNECTS_TOO_OFTEN = Reply(421, "4.7.0", "Too many connections in a minute from your address")
ERRS_TOO_OFTEN = Reply(421, "4.7.0", "Too many errors in a minute from your address")
SENDS_TOO_OFTEN = Reply(450, "4.7.1", "Too many messages in a minute from your address")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without a message")
IDLE = Reply(421, "4.4.2", "Timeout: nothing came")
TOO_SLOW = Reply(421, "4.4.2", "Timeout: the content came too slowly")

STORE_UNAVAILABLE = Reply(451, "4.3.0", "Cannot queue the message now, try again later")
NO_RECIPIENTS_NOW = Reply(451, "4.5.1", "No recipients that are valid now, try again later")
NO_ROOM = Reply(452, "4.3.1", "No room for more messages now, try again later")
OUT_OF_MEMORY = Reply(452, "4.3.1", "Too much on its way in, try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")

UNKNOWN = Reply(500, "5.5.2", "Command not recognised")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
BAD_SYNTAX = Reply(501, "5.5.4", "Syntax error in parameters")
REPEATED = Reply(501, "5.5.4", "Parameter given twice")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
NO_TLS = Reply(502, "5.5.1", "STARTTLS is not offered")
GREET_FIRST = Reply(503, "5.5.1", "Send EHLO or HELO first")
SENDER_FIRST = Reply(503, "5.5.1", "Send MAIL first")
IN_TRANSACTION = Reply(503, "5.5.1", "A mail transaction is in progress")

TOO_LARGE = Reply(552, "5.3.4", "Message exceeds the size limit")
NO_LITERALS = Reply(550, "5.1.2", "No mail to address literals")
BARE_LINE_END = Reply(550, "5.6.11", "Bare CR or LF in the content (RFC 5321 section 2.3.8)")
NUL = Reply(550, "5.6.0", "NUL in the content (RFC 5321 section 4.5.2)")
NO_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")
OUT_OF_STEP = Reply(554, "5.5.0", "Protocol out of step: content came before 354")
NOT_SMTP = Reply(554, "5.5.0", "This is SMTP")
BARE_LF = Reply(554, "5.5.2", "Bare LF: lines end with CR LF")
LOOP = Reply(554, "5.4.6", "Too many hops: a mail loop")
NO_RELAYING = Reply(554, "5.7.1", "Relaying denied")
NO_SUCH_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised")
