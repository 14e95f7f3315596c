/// The answer of `GET /moed/experts`: how a model's experts are used, and which are in memory.
package struct ExpertUse: Codable, Sendable, Equatable {
    /// Layers with routed experts, in their order.
    package var layers: [Layer]

    package init(layers: [Layer]) { self.layers = layers }

    package struct Layer: Codable, Sendable, Equatable {
        /// Counted from 0, dense layers included.
        package var layer: Int
        /// Since the start.
        package var useCount: Int
        package var hitCount: Int
        /// [experts]: uses, old ones worth less, in earlier runs too.
        package var popularity: [Float]
        /// [experts]
        package var isResident: [Bool]
        /// nil from daemons that don't say.
        package var paging: LayerPaging?

        package init(
            layer: Int, useCount: Int, hitCount: Int, popularity: [Float], isResident: [Bool],
            paging: LayerPaging? = nil
        ) {
            self.layer = layer
            self.useCount = useCount
            self.hitCount = hitCount
            self.popularity = popularity
            self.isResident = isResident
            self.paging = paging
        }

        private enum CodingKeys: String, CodingKey {
            case layer
            case useCount = "uses"
            case hitCount = "hits"
            case popularity
            case isResident = "resident"
            case paging
        }
    }
}
