"""What files of other people may do to a reader: bounds that are checked before anything is allocated or opened."""
