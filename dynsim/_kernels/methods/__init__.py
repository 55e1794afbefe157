"""Update rules, what a method makes of an estimated gradient; blocks of paths with the lanes innermost."""
