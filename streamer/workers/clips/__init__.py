"""The clips worker: keeps what capture has recorded, hides people in it, and says what there is."""
