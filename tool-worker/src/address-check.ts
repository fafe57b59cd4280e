/** Which addresses of the network a tool may reach: the public ones. */
import ipaddr from "ipaddr.js";

/** The global unicast space that is given out (RFC 4291, IANA); everything else of IPv6 is special or unassigned. */
const IPV6_PUBLIC = ipaddr.parseCIDR("2000::/3");

/** Whether an address is public: not private, loopback, link-local (cloud metadata among them), unique-local, shared, multicast,
 *  reserved, nor a form of IPv6 that holds an IPv4 address and is translated on the way (mapped, NAT64, 6to4, Teredo). */
export function isPublicAddress(address: string): boolean {
  // A zone names an interface of this machine.
  if (!ipaddr.isValid(address) || address.includes("%")) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast") return false;
  return parsed.kind() === "ipv4" || parsed.match(IPV6_PUBLIC);
}
