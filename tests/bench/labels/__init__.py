"""What labels are worth in the order of `har labels`, beside other orders."""
