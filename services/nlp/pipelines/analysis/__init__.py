"""What texts say: sentiment, classes, entities, vectors."""
