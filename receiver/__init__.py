"""What comes in and what is delivered: callbacks, the API, the notifier; and the composition of the process."""
