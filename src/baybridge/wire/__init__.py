"""The JSON shapes that server and client share, so that they cannot drift: one module per noun."""
