"""Long campaigns: run by hand as `python -m tests.campaign.NAME`, never collected by pytest."""
