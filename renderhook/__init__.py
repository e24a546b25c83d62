"""The program `renderhook`: its command line."""
