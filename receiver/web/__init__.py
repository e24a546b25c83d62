"""The web application: what is mounted where, who may use it, and what it answers when something is wrong."""
