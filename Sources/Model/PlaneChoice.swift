import Container

/// Which planes of experts that have two a person may ask for.
package enum PlaneChoice: String, Sendable, CaseIterable {
    /// The first of every expert.
    case coarse
    /// Both of every expert.
    case both
    /// Both of the experts that earlier runs used most, the first of the others.
    case heat
}

extension MemoryPlan {
    /// What decides about the planes; nil where the experts have one.
    package var planesInForce: PlaneChoice? {
        heat != nil ? .heat : planes.map { $0 == .both ? .both : .coarse }
    }
}
