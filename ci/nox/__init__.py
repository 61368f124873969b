"""What the noxfile needs: environments, pins and exit codes. Standard library, catalog and errors alone."""
