/// Tokens by their bytes, to find all those that begin at a place.
struct TokenTrie: Sendable {
    /// Finding tokens takes time in proportion to the longest.
    static let longestToken = 1 << 10

    /// Children by (node, byte), in the lower half of the value. The root is 0.
    private var children = MergeTable(capacity: 16)
    private var nodeCount: Int32 = 1
    private var childCapacity = 16
    /// The token that ends at a node; −1 for none.
    private var ending: [Int32] = [-1]
    private var inserted: [(node: Int32, byte: UInt8, child: Int32)] = []

    /// Of two tokens of the same bytes the later one counts.
    mutating func insert(_ token: [UInt8], _ id: Int32) {
        if token.isEmpty { return }
        var node: Int32 = 0
        for byte in token {
            let child = child(of: node, byte)
            if child >= 0 {
                node = child
                continue
            }
            append(node, byte, nodeCount)
            node = nodeCount
            nodeCount += 1
            ending.append(-1)
        }
        ending[Int(node)] = id
    }

    /// −1 if no token goes on with this byte.
    func child(of node: Int32, _ byte: UInt8) -> Int32 {
        let found = children.find(node, Int32(byte))
        return found == MergeTable.none ? -1 : MergeTable.token(found)
    }

    /// The token that ends at a node; −1 for none.
    func token(at node: Int32) -> Int32 { ending[Int(node)] }

    private mutating func append(_ node: Int32, _ byte: UInt8, _ child: Int32) {
        inserted.append((node, byte, child))
        if inserted.count > childCapacity {
            childCapacity *= 2
            children = MergeTable(capacity: childCapacity)
            for edge in inserted { children.insert(edge.node, Int32(edge.byte), rank: 0, merged: edge.child) }
        } else {
            children.insert(node, Int32(byte), rank: 0, merged: child)
        }
    }
}
