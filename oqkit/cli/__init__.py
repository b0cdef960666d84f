"""The command ``oq``: parse, one call, render. Each command is a file of its own, named in `oqkit.cli.command_registry`."""
