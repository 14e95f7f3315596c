/// Decides whether reading ahead gains on this storage, from what the engine lost with it and without it.
///
/// A trial takes turns: `stretch` tokens with, as many without, `rounds` times. Reading ahead then stays on for `term`
/// tokens if the tokens with it lost less by `leastGain` at least, and off for as long otherwise; then comes the next trial.
/// What a token lost is the time that the engine waited for experts and the time that predicting took, so that what reads
/// ahead cost others by keeping storage busy counts against them.
package struct LookaheadGate: Sendable, Equatable {
    package static let stretch = 8
    package static let rounds = 12
    package static let term = 2048
    /// Part of the loss.
    package static let leastGain = 0.02

    /// Whether to read ahead for the next token.
    package private(set) var isOn = true
    /// Whether a trial is under way.
    package private(set) var isTrying = true
    /// Tokens of the stretch or term that are over, and stretches of the trial.
    private var tokens = 0
    private var stretches = 0
    /// Seconds lost in the trial.
    private var lostWith = 0.0
    private var lostWithout = 0.0

    package init() {}

    /// A token is through, and lost so much.
    package mutating func record(lost: Duration) {
        tokens += 1
        guard isTrying else {
            if tokens >= Self.term { self = LookaheadGate() }
            return
        }
        if isOn { lostWith += lost / .seconds(1) } else { lostWithout += lost / .seconds(1) }
        guard tokens >= Self.stretch else { return }
        tokens = 0
        stretches += 1
        isOn.toggle()
        guard stretches >= 2 * Self.rounds else { return }
        isTrying = false
        isOn = lostWith < (1 - Self.leastGain) * lostWithout
    }
}
