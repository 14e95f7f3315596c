/// Two ways of reading fewer experts from storage while text is generated. Both change what the model says, by what
/// happens to be in memory, so results depend on what was computed before.
///
/// A token's two best experts are never touched, and neither are prompts: what is kept of them must be the same
/// whatever was in memory.
package struct LossyRouting: Sendable, Equatable {
    /// How much higher an expert ranks that is in memory, as a part of the range of the token's scores (with a softmax,
    /// of its logits): cache-conditional routing, arXiv 2412.00099. Only the ranks change, the weights are the router's.
    package var preferResident: Float
    /// An expert that isn't in memory is left out when it weighs less than this part of the mean of the token's experts.
    package var dropCold: Float

    package init(preferResident: Float = 0, dropCold: Float = 0) {
        precondition(Self.strengths.contains(preferResident) && Self.strengths.contains(dropCold))
        self.preferResident = preferResident
        self.dropCold = dropCold
    }

    /// What either may be; 0 changes nothing.
    package static let strengths: ClosedRange<Float> = 0...1

    package static let off = LossyRouting()

    package var isOff: Bool { preferResident == 0 && dropCold == 0 }

    /// A token's best experts, which stay as they are.
    static let untouchedCount = 2

    /// What it came to.
    package struct Use: Sendable, Equatable {
        /// Experts that the routers would have chosen.
        package var choiceCount = 0
        /// Those of them whose places others took.
        package var substitutedCount = 0
        /// Those that were left out.
        package var droppedCount = 0

        package init() {}

        static func += (total: inout Use, use: Use) {
            total.choiceCount += use.choiceCount
            total.substitutedCount += use.substitutedCount
            total.droppedCount += use.droppedCount
        }

        package static func + (first: Use, second: Use) -> Use {
            var sum = first
            sum += second
            return sum
        }
    }
}
