"""The sweep file: what it may say, the cells that it stands for, and running them."""
