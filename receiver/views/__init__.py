"""What the HTTP API and notifications show, as Structs: the one description of each JSON body."""
