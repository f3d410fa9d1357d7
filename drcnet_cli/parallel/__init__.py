"""Restoring on several devices: handing out jobs, and the processes that do them."""
