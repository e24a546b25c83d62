"""What we ask of providers: submit and poll, and the command line that asks for it."""
