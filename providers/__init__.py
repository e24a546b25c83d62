"""What fal and HeyGen say: bytes and mappings in, values out. No socket, no store, no clock.

`wire` has the values that go in and come out; each provider has a folder.
"""
