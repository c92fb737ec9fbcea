"""Domain weights by other methods: uniform, natural, temperature, RegMix, DoReMi and DoGE.

A method is a function from `MethodOptions` to a `MethodOutcome`, which holds a `DomainWeights` made by
`outcome.method_weights`. To add one, name it with its flags in `options.METHODS` and its function in
`run.FUNCTIONS`. `small_models.measure_runs` has mixtures and losses for methods that fit laws to them;
`training.objective` is the interface for methods that move the weights while a proxy trains.
"""
