"""How certain weights are (errors, intervals, when to stop drawing windows) and what to warn of.

Start at `verdict.assess`. It takes errors from `bootstrap` up to a thousand domains, from `analytic_errors`
above. `delta_method` splits a weight's variance by domain, which `stopping` uses to choose the next windows.
"""
