import CSystemd
import Glibc

/// The descriptors that the service manager hands over (sd_listen_fds_with_names), sorted by what they are for.
package struct InheritedDescriptors: Sendable {
    /// What `KeptMemory` stores its descriptor under.
    static let weightsName = "weights"

    /// Sockets to serve.
    package let sockets: [Int32]
    /// Memory of an earlier run.
    package let weights: [Int32]

    /// Throws `.badInheritance`. To be called once: the descriptors are owned from then on.
    package init() throws(ServingError) {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(0, &names)
        guard count >= 0 else {
            throw ServingError(.badInheritance, "LISTEN_FDS can't be read: \(describe(errno: -count))")
        }
        var (sockets, weights): ([Int32], [Int32]) = ([], [])
        for index in 0..<Int(count) {
            let descriptor = SD_LISTEN_FDS_START + Int32(index)
            let name = names?[index].map { String(cString: $0) }
            if name == Self.weightsName { weights.append(descriptor) } else { sockets.append(descriptor) }
        }
        if let names {
            var place = names
            while let name = place.pointee {
                free(name)
                place += 1
            }
            free(names)
        }
        self.sockets = sockets
        self.weights = weights
    }
}
