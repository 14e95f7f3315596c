import API
import Generation
import Model

extension LossyRouting {
    /// What a request asks for, and the daemon's defaults where it says nothing. The values were checked before.
    func merging(_ options: LossyOptions?) -> LossyRouting {
        LossyRouting(
            preferResident: options?.preferResident.map { Float($0) } ?? preferResident,
            dropCold: options?.dropCold.map { Float($0) } ?? dropCold)
    }
}

extension LossyReport {
    /// nil where the answer was made without help.
    init?(_ lossy: LossyRouting, _ completion: Generation.Completion) {
        guard !lossy.isOff else { return nil }
        let use = completion.lossyUse
        self.init(
            preferResident: lossy.preferResident.decimal, dropCold: lossy.dropCold.decimal,
            choiceCount: use.choiceCount, substitutedCount: use.substitutedCount, droppedCount: use.droppedCount)
    }
}

extension Float {
    /// The number as a person would have written it: 0.15, not 0.15000000596.
    var decimal: Double { Double(description) ?? Double(self) }
}
