"""The scheduler on a virtual clock: real scripts, real policy, and mail that is not there."""
