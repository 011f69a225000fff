"""How near a twin comes to its author: held-out loss, style, copies, and the report of it."""
