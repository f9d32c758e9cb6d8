"""What several commands take: a bundle and who runs it, settings, pictures in and out."""
