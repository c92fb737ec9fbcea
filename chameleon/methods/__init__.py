"""Rival methods, which make the same weights value on the same data.

`plain` are rules on token counts; `regmix/` trains many small models and regresses; `doremi` and `doge` move
weights while one proxy trains, through `chameleon.training.objective`. `python -m chameleon methods --help`
shows the command.
"""
