"""What every room needs: the cache, files and locks, downloads, registries, early stopping, errors."""
