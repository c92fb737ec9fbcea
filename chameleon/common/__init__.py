"""What every room uses: errors, files, arrays, command lines, tables and figures.

It imports no other room.
"""
