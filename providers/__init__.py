"""What each provider's API says: bytes and mappings in, values out. No sockets, no database, no clock.

`provider` is the interface, `registry` the list of providers, `http` the values that go in and come out; each
provider has a folder.
"""
