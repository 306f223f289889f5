"""What runs inside the containers of the train image: the entry points of the stack's services."""
