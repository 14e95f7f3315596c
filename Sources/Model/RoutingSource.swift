/// Says which experts tokens go through, in place of the router: to run a model as it was once recorded, whatever its weights
/// are. Asked on the thread that steps the model.
package protocol RoutingSource: AnyObject, Sendable {
    /// - Parameters:
    ///   - layer: of the model, dense layers counted.
    ///   - position: of the token in its sequence.
    ///   - experts: [expertsPerToken], best first: the router's choice on entry, distinct experts on return. They keep the
    ///     weights that the router gave to their ranks.
    func choose(layer: Int, position: Int, experts: inout MutableSpan<Int32>)

    /// What a prediction of that choice would say, one layer before.
    ///
    /// - Parameter experts: as in `choose`; on entry what the router itself would choose of the layer before's state.
    func predict(layer: Int, position: Int, experts: inout MutableSpan<Int32>)
}

extension RoutingSource {
    package func predict(layer: Int, position: Int, experts: inout MutableSpan<Int32>) {}
}
