/// How long a container will be, before anything of it exists.
package struct ContainerSize {
    private var end = UInt64(ContainerFormat.superblockByteCount)
    private var recordCount = 0

    package init() {}

    package mutating func addTensor(byteCount: Int) { add(byteCount, ContainerFormat.tensorAlignment) }

    /// - Parameter byteCount: as stored.
    package mutating func addExpert(byteCount: Int) { add(byteCount, ContainerFormat.expertAlignment) }

    /// Bytes of the file with everything that was added and its index.
    package func fileByteCount(metadata: ModelMetadata, text: TextAssets) throws(ContainerError) -> Int {
        let index = ContainerIndex(metadata: metadata, text: text, tensors: [:], experts: [:])
        let sections = try index.encoded(path: "").count
        let start = ContainerFormat.aligned(end, to: ContainerFormat.indexAlignment)
        return Int(start) + sections + recordCount * ContainerFormat.recordByteCount
    }

    private mutating func add(_ byteCount: Int, _ alignment: Int) {
        end = ContainerFormat.aligned(end, to: alignment) + UInt64(byteCount)
        recordCount += 1
    }
}
