/// Divides the engine's time between a prompt that is read and the answers that run meanwhile, so that these keep more
/// than half the speed that they have alone.
///
/// Between the parts of a prompt a step also takes longer, because the caches hold something else: so answers are credited
/// with the time that their steps take alone. A quarter of the time is the prompt's whatever that says.
struct TimeShare {
    /// What a step takes while no prompt is read; nil if there was none.
    let stepAlone: Duration?
    private(set) var prefill = Duration.zero
    private var decode = Duration.zero
    private var credit = Duration.zero

    init(stepAlone: Duration?) { self.stepAlone = stepAlone }

    var isPrefillDue: Bool { (prefill + decode) * 5 <= credit * 9 || prefill * 3 <= decode }

    mutating func spend(onPrefill duration: Duration) { prefill += duration }

    mutating func spend(onStep duration: Duration) {
        decode += duration
        credit += min(duration, stepAlone ?? duration)
    }
}
