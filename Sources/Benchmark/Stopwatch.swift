/// Seconds of the shortest of several runs of `body`: what else runs on the machine only adds.
package func shortest(of runs: Int = 7, _ body: () throws -> Void) rethrows -> Double {
    try shortest(of: runs, prepare: {}, body)
}

/// Before each run `prepare`, which doesn't count.
package func shortest(of runs: Int = 7, prepare: () -> Void, _ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<runs {
        prepare()
        best = min(best, try ContinuousClock().measure(body) / .seconds(1))
    }
    return best
}
