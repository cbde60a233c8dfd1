"""What runs inside a sandbox: standard library only, started by path, never imported by a program under
test."""
