"""`python -m drcnet_cli`: the same as the `drcnet` command."""

from drcnet_cli.cli.app import main

if __name__ == "__main__":
    main()
