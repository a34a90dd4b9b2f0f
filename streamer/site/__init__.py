"""A site of many boxes: which box owns a camera when (terms), and its counts from all of them."""
