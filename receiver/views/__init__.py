"""What the API and the notifications show of a row."""
