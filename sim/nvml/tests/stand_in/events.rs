//! Xid errors as events.

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;

use crate::support::{Stand, host, uuid};

#[test]
fn xid_errors_reach_a_set_in_their_order_with_their_device() {
    let mut script = host("ab");
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let mut set = nvml.create_event_set().unwrap();
    for letter in ['a', 'b'] {
        let device = nvml.device_by_uuid(uuid(letter)).unwrap();
        set = device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(|e| e.error).unwrap();
    }
    assert!(matches!(set.wait(0), Err(NvmlError::Timeout)));
    let registered = stand.second();
    script.devices[0].xid = vec![(registered - 5.0, 13), (registered + 0.002, 79)];
    script.devices[1].xid = vec![(registered + 0.001, 48), (registered + 0.003, 63)];
    stand.write(&script);
    let told: Vec<_> = (0..3)
        .map(|_| {
            let event = set.wait(60_000).unwrap();
            assert_eq!(event.event_type, EventTypes::CRITICAL_XID_ERROR);
            (event.device.uuid().unwrap(), event.event_data)
        })
        .collect();
    let xid = |letter, code| (uuid(letter), Some(XidError::Value(code)));
    assert_eq!(told, [xid('b', 48), xid('a', 79), xid('b', 63)], "and not the one before the set was");
    assert!(matches!(set.wait(1), Err(NvmlError::Timeout)), "each is told once");
    set.release_events().unwrap();
}

#[test]
fn an_event_that_nobody_registered_for_is_not_told() {
    let mut script = host("ab");
    let stand = Stand::new(&script);
    let nvml = stand.nvml();
    let set = nvml.create_event_set().unwrap();
    let device = nvml.device_by_uuid(uuid('a')).unwrap();
    let set = device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(|e| e.error).unwrap();
    let now = stand.second();
    script.devices[1].xid = vec![(now, 79)];
    stand.write(&script);
    assert!(matches!(set.wait(20), Err(NvmlError::Timeout)));
    script.devices[0].xid = vec![(now + 0.001, 31)];
    stand.write(&script);
    assert_eq!(set.wait(60_000).unwrap().event_data, Some(XidError::Value(31)));
}

#[test]
fn a_type_of_event_that_devices_do_not_have_is_not_supported() {
    let stand = Stand::new(&host("a"));
    let nvml = stand.nvml();
    let set = nvml.create_event_set().unwrap();
    let device = nvml.device_by_index(0).unwrap();
    let refused = device.register_events(EventTypes::CLOCK_CHANGE, set).err().unwrap();
    assert!(matches!(refused.error, NvmlError::NotSupported));
}
