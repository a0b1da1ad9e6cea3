"""`python -m logicls`: what the command `logicls` does, with the interpreter that was named."""

from logicls.cli.app import main

if __name__ == "__main__":
    main()
