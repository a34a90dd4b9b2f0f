"""What is drawn on pictures: lines, boxes, counts, heat."""
