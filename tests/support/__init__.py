"""What several tests build: models, graphs, references and the shared folder's models."""
