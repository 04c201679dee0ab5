# A text as one C string literal, a line a line.
s/[\\"]/\\&/g
s/^/"/
s/$/\\n"/
